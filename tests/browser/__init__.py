"""What people see of Modelmill in a browser: `make browser-test`."""
