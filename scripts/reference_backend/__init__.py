"""The platform's side of the contract, as a server that runs anywhere."""
