"""The side that people see and touch: screen, touch panel, tone and light."""
