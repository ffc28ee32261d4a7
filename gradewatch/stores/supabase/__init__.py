"""The Supabase store: the SQL functions of the PostgreSQL store, called over PostgREST; papers in Supabase Storage."""

from gradewatch.stores.supabase.store import SupabaseStore

__all__ = ["SupabaseStore"]
