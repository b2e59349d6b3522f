"""Who we are: credentials, signers, choosing a credential."""
