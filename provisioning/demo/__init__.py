"""The main job on one computer: a throw-away town, its dock and one unit, played by hand or told by itself."""
