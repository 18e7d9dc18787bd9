"""What people see in a browser. So far: the way in, and a first page."""
