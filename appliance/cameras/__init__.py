"""The cameras and microphones that there are, each of which gives packets as appliance.camera has it."""
