"""Write an HTML report from the JSON of commands."""
