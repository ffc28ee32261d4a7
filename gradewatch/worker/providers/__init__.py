"""Providers that read and grade for money, and what keeps them from stalling a queue. Their SDKs are imported only when
they are configured."""
