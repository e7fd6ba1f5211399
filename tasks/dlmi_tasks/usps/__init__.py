"""USPS digits: the template for a task of your own."""
