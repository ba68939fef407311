"""What people and programs see of a result: tables, JSON, CSV."""
