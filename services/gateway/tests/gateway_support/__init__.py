"""What the gateway's tests stand on: an issuer of tokens, peers, and the whole house wired up."""
