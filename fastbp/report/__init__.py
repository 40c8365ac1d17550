"""What a model does well and what not: its scores, its inputs, and a page that shows both."""
