"""Models as folders: what is in them, which are known, and how they come here when somebody asks for them."""
