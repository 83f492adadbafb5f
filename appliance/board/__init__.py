"""What only the board can tell: battery and temperature."""
