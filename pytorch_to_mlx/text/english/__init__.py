"""Write English out as it is spoken: amounts, ranges, dates, times, abbreviations, by tables and rules."""
