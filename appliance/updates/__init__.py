"""An update of the unit's software: fetched from the dock, written to the other slot, tried once, confirmed or not."""
