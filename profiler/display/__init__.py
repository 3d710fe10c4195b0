"""A result for a notebook: tables, plots and HTML, drawn by hand."""
