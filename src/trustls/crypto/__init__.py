"""The primitives, behind one provider object that names what it has. No TLS state."""
