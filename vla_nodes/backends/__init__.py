"""Policies behind one interface (base.py); each imports what it needs only when it is asked for."""
