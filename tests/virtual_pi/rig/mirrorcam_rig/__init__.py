"""The virtual camera's sensor: what its virtual pipeline lacks of a real camera, and a stamp in each picture."""
