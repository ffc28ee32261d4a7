"""Small applications that the tests start as real processes."""
