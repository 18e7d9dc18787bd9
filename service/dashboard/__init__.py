"""What people see in a browser: pages made on the server, that renew themselves."""
