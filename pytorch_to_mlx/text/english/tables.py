"""What the rules of English look up: money, units, dates, abbreviations. Data only."""

# Sign or code: one, several, one hundredth, several hundredths.
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("US dollar", "US dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("rouble", "roubles", "kopek", "kopeks"),
    "₺": ("lira", "liras", "kurush", "kurush"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "USD": ("US dollar", "US dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "", ""),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "AUD": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "INR": ("rupee", "rupees", "paisa", "paise"),
}
SCALES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "mln": "million",
    "b": "billion", "B": "billion", "bn": "billion", "t": "trillion", "T": "trillion", "tn": "trillion",
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
}  # fmt: skip
SIGNS = {"-": "minus ", "−": "minus ", "–": "minus ", "+": "plus ", "±": "plus or minus ", "~": "about ", "≈": "about ",
         "<": "less than ", ">": "more than ", "≤": "at most ", "≥": "at least "}  # fmt: skip

# Symbol: one, several. British spelling follows in BRITISH.
UNITS = {
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "μm": ("micrometer", "micrometers"), "nm": ("nanometer", "nanometers"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"), "yds": ("yard", "yards"), "ft": ("foot", "feet"),
    "in": ("inch", "inches"), "″": ("inch", "inches"), "′": ("foot", "feet"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "μg": ("microgram", "micrograms"), "mcg": ("microgram", "micrograms"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "L": ("liter", "liters"), "l": ("liter", "liters"), "mL": ("milliliter", "milliliters"),
    "ml": ("milliliter", "milliliters"), "cl": ("centiliter", "centiliters"), "dl": ("deciliter", "deciliters"),
    "dL": ("deciliter", "deciliters"), "μL": ("microliter", "microliters"), "gal": ("gallon", "gallons"),
    "tsp": ("teaspoon", "teaspoons"), "tbsp": ("tablespoon", "tablespoons"), "pt": ("pint", "pints"),
    "qt": ("quart", "quarts"), "ha": ("hectare", "hectares"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"), "s": ("second", "seconds"), "sec": ("second", "seconds"),
    "secs": ("second", "seconds"), "ms": ("millisecond", "milliseconds"), "μs": ("microsecond", "microseconds"),
    "ns": ("nanosecond", "nanoseconds"), "yr": ("year", "years"), "yrs": ("year", "years"),
    "wk": ("week", "weeks"), "wks": ("week", "weeks"), "mo": ("month", "months"), "mos": ("month", "months"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "° C": ("degree Celsius", "degrees Celsius"), "° F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "degrees C": ("degree Celsius", "degrees Celsius"), "degrees F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "deg": ("degree", "degrees"), "° N": ("degree north", "degrees north"), "° S": ("degree south", "degrees south"),
    "° E": ("degree east", "degrees east"), "° W": ("degree west", "degrees west"),
    "°": ("degree", "degrees"), "°N": ("degree north", "degrees north"), "°S": ("degree south", "degrees south"),
    "°E": ("degree east", "degrees east"), "°W": ("degree west", "degrees west"),
    "%": ("percent", "percent"), "‰": ("per thousand", "per thousand"),
    "ppm": ("part per million", "parts per million"),
    "mph": ("mile per hour", "miles per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"), "mpg": ("mile per gallon", "miles per gallon"),
    "rpm": ("revolution per minute", "revolutions per minute"), "bpm": ("beat per minute", "beats per minute"),
    "fps": ("frame per second", "frames per second"), "dpi": ("dot per inch", "dots per inch"),
    "psi": ("pound per square inch", "pounds per square inch"), "px": ("pixel", "pixels"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "THz": ("terahertz", "terahertz"), "dB": ("decibel", "decibels"),
    "W": ("watt", "watts"), "mW": ("milliwatt", "milliwatts"), "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"), "GW": ("gigawatt", "gigawatts"), "Wh": ("watt hour", "watt hours"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "MWh": ("megawatt hour", "megawatt hours"),
    "V": ("volt", "volts"), "mV": ("millivolt", "millivolts"), "kV": ("kilovolt", "kilovolts"),
    "mA": ("milliamp", "milliamps"), "mAh": ("milliamp hour", "milliamp hours"), "Ω": ("ohm", "ohms"),
    "kΩ": ("kilohm", "kilohms"), "kJ": ("kilojoule", "kilojoules"), "kcal": ("kilocalorie", "kilocalories"),
    "cal": ("calorie", "calories"), "kPa": ("kilopascal", "kilopascals"), "hPa": ("hectopascal", "hectopascals"),
    "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"), "PB": ("petabyte", "petabytes"),
    "KiB": ("kibibyte", "kibibytes"), "MiB": ("mebibyte", "mebibytes"), "GiB": ("gibibyte", "gibibytes"),
    "kbps": ("kilobit per second", "kilobits per second"), "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"), "MP": ("megapixel", "megapixels"),
    "sq ft": ("square foot", "square feet"), "sq. ft.": ("square foot", "square feet"),
    "sq m": ("square meter", "square meters"), "sq km": ("square kilometer", "square kilometers"),
    "sq. mi.": ("square mile", "square miles"), "sq. km": ("square kilometer", "square kilometers"),
    "sq mi": ("square mile", "square miles"), "cu ft": ("cubic foot", "cubic feet"),
    "fl oz": ("fluid ounce", "fluid ounces"),
}  # fmt: skip
LENGTHS = ("km", "m", "cm", "mm", "mi", "yd", "ft", "in")  # also with ² and ³
ATTACHED = frozenset(("in", "pt", "cal", "mo", "MP"))  # units only where no space is before them
# What may follow a slash, beside the units: $5/month, 3/day.
PER = {"hour": "hour", "hr": "hour", "h": "hour", "day": "day", "d": "day", "week": "week", "wk": "week",
       "month": "month", "mo": "month", "year": "year", "yr": "year", "night": "night", "person": "person",
       "pp": "person", "s²": "second squared",
       "minute": "minute", "min": "minute", "second": "second", "sec": "second", "s": "second",
       "item": "item", "unit": "unit", "piece": "piece", "user": "user", "page": "page", "acre": "acre"}  # fmt: skip
BRITISH = {"meter": "metre", "liter": "litre"}

DENOMINATORS = {2: ("half", "halves"), 3: ("third", "thirds"), 4: ("quarter", "quarters"), 5: ("fifth", "fifths"),
                6: ("sixth", "sixths"), 7: ("seventh", "sevenths"), 8: ("eighth", "eighths"), 9: ("ninth", "ninths"),
                10: ("tenth", "tenths"), 12: ("twelfth", "twelfths"), 16: ("sixteenth", "sixteenths"),
                20: ("twentieth", "twentieths"), 32: ("thirty-second", "thirty-seconds")}  # fmt: skip
# What a fraction is a part of: "1/2 cup" is half a cup. The second word is the plural, if it is not made with s.
MEASURES = {
    "cup": "cups", "teaspoon": "teaspoons", "tablespoon": "tablespoons", "pint": "pints", "quart": "quarts",
    "gallon": "gallons", "ounce": "ounces", "pound": "pounds", "inch": "inches", "foot": "feet", "yard": "yards",
    "mile": "miles", "acre": "acres", "hour": "hours", "minute": "minutes", "second": "seconds", "day": "days",
    "week": "weeks", "month": "months", "year": "years", "century": "centuries", "dozen": "dozen", "liter": "liters",
    "litre": "litres", "meter": "meters", "metre": "metres", "kilometer": "kilometers", "kilometre": "kilometres",
    "kilo": "kilos", "kilogram": "kilograms", "gram": "grams", "million": "million", "billion": "billion",
    "bottle": "bottles", "glass": "glasses", "stick": "sticks", "slice": "slices", "bag": "bags", "box": "boxes",
    "can": "cans", "pack": "packs", "packet": "packets", "tablet": "tablets", "pill": "pills", "pizza": "pizzas",
    "page": "pages", "degree": "degrees", "percent": "percent", "onion": "onions", "lemon": "lemons", "apple": "apples",
    "point": "points", "bar": "bars", "loaf": "loaves", "bucket": "buckets", "tank": "tanks", "turn": "turns",
}  # fmt: skip

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
DAYS = {"Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
        "Thur": "Thursday", "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday"}  # fmt: skip

# Before these a number with a hyphen is a range if it rises; so it is before a plural noun.
RANGE_BEFORE = frozenset(
    """
    page pages pg pgs p pp no nos vol vols fig figs
    chapter chapters ch section sections verse verses line lines item items row rows column
    columns step steps question questions exercise exercises episode episodes level levels week weeks day days year
    years age ages aged from between grade grades lesson lessons unit units part parts figure figures table tables
    volume volumes number numbers about around approximately roughly
""".split()
)
PLURALS = frozenset("people men women children feet percent kids teeth mice sheep fish dozen thousand million".split())
HOURS_BEFORE = frozenset(
    """
    from open hours weekdays daily works
    mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday
""".split()
)
RANGE_ADJECTIVES = frozenset("more new other different extra small large full short long working".split())
NOT_RANGES = frozenset((("7", "11"), ("9", "11")))  # a shop and a day
SCORE_BEFORE = frozenset(
    """
    score scored scores won win wins winning lost lose loses losing beat beats beating draw drew tied tie lead leads led
    leading trail trails trailed trailing finished ended record final result vote voted victory defeat loss ahead
""".split()
)
SCORE_AFTER = frozenset(
    """
    win wins victory defeat loss draw lead score record vote series scoreline against over vs versus odds rule
""".split()
)

# Written before a capital letter: the title that is said.
TITLES = {"Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Ms", "Prof": "Professor", "Gen": "General",
          "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Maj": "Major",
          "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Rev": "Reverend", "Hon": "Honorable",
          "Pres": "President", "Mt": "Mount", "Ft": "Fort", "Fr": "Father", "Messrs": "Messieurs"}  # fmt: skip
# Written after a name: the road that is said.
ROADS = {"St": "Street", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane", "Dr": "Drive",
         "Hwy": "Highway", "Sq": "Square", "Pl": "Place", "Ct": "Court"}  # fmt: skip
AFTER_NAMES = {"Jr": "Junior", "Sr": "Senior", "Esq": "Esquire", "Inc": "Incorporated", "Ltd": "Limited",
               "Corp": "Corporation", "Co": "Company", "Bros": "Brothers"}  # fmt: skip
# Anywhere, in either case of the first letter, with the full stop.
ABBREVIATIONS = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "ie": "that is", "etc": "et cetera", "vs": "versus",
    "approx": "approximately", "dept": "department", "govt": "government", "est": "estimated", "max": "maximum",
    "misc": "miscellaneous", "appt": "appointment", "apt": "apartment", "assn": "association",
    "asst": "assistant", "attn": "attention", "avg": "average", "cf": "compare", "incl": "including",
    "et al": "and others", "tel": "telephone", "temp": "temperature",
    "univ": "university",
    "ext": "extension", "a.k.a": "also known as", "viz": "namely", "ca": "about",
}  # fmt: skip
# Before a number only: one, several.
NUMBERED = {"sec": ("section", "sections"),
            "fig": ("figure", "figures"), "vol": ("volume", "volumes"), "ch": ("chapter", "chapters"),
            "p": ("page", "pages"), "pp": ("pages", "pages"), "pg": ("page", "pages"), "eq": ("equation", "equations"),
            "ver": ("version", "versions")}  # fmt: skip

# A Roman numeral after these is a number: World War II, Chapter IV.
ROMAN_AFTER = frozenset(
    """
    chapter part volume vol book act scene section article appendix phase stage type class level grade title war
    bowl tier unit figure table episode season round step division mark rocky symphony apollo canto psalm olympiad
""".split()
)
# A Roman numeral after these is an ordinal: Henry VIII is Henry the Eighth.
RULERS = frozenset(
    """
    Henry Louis George Edward Richard Charles James William Elizabeth Mary Philip Francis Frederick Pius Benedict
    Gregory Leo Innocent Clement Urban Alexander Nicholas Catherine Peter Ivan Napoleon Wilhelm Otto Ferdinand Alfonso
    Gustav Christian Ramesses Ptolemy Constantine Juan Felipe Carlos Albert Leopold Edmund Robert Haakon Olav
    Boniface Sixtus Paul Harald Margrethe Xerxes Darius Cleopatra Victor Umberto Amadeus Theodore Henri Karl Friedrich
""".split()
)
GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta",
         "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron", "π": "pi",
         "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi",
         "ω": "omega"}  # fmt: skip
URL_SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", "?": "question mark", "=": "equals",
             "&": "and", "#": "hash", ":": "colon", "%": "percent", "~": "tilde", "+": "plus"}  # fmt: skip
SPELLED_DOMAINS = frozenset("io uk us de fr es eu ai tv ca au jp ch nl".split())
DOMAINS = "com org net edu gov io co uk us de fr es it eu ai dev app info biz me tv ca au jp in ch nl".split()
