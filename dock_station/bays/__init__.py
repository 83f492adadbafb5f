"""The bays: where units are greeted, bring their clips piece by piece, and get their receipts."""
