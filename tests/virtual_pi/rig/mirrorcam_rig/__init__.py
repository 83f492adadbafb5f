"""The virtual camera's sensor: what libcamera's virtual pipeline lacks of a real camera, and the stamp in its pictures."""
