"""Ways of making a net compact while it is trained: answers of teachers, fewer weights, weights of few bits."""
