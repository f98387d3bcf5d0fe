"""A mail on its way out: merge fields checked, templates rendered, the message built and read back."""
