"""Pages for people: one HTML file each that needs nothing else, in one style."""
