"""What operators manage and see: tenants, and the status of the installation."""
