"""Nets as text: one C file and its header, or a folder with a test that anybody can build."""
