"""What tests share: helpers and fakes that are full implementations of a seam. No tests."""
