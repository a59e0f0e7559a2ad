"""From a torch module to something that Lightning can train."""
