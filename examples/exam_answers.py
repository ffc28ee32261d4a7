"""Who sat the example exam, what they wrote, and the marks a teacher gives for it. Read by make_exam.py.

The marks stand here beside the answers, as a person gave them; they are not taken from the program they check.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "Year 9 science: cells, forces and heat"

# Number, marks and printed text of each question.
QUESTIONS = {
    "Q1": (4, "Explain how a green plant makes its own food."),
    "Q2": (2, "Name the part of a cell where respiration takes place, and say what it releases."),
    "Q3": (3, "A trolley of mass 3.0 kg accelerates at 2.5 m/s2. Calculate the resultant force on it."),
    "Q4": (4, "State two ways to reduce the heat lost from a house."),
    "Q5": (2, "Which gas is tested for with limewater, and what change is seen?"),
}

# Per question: what was written, by a letter, and the marks it is worth.
ANSWERS: dict[str, dict[str, tuple[float, str]]] = {
    "Q1": {
        "a": (4, "By photosynthesis. The leaf takes in carbon dioxide and water, and with light it makes glucose."),
        "b": (4, "Photosynthesis: CO2 and water become sugar and oxygen in the chloroplasts, using sunlight."),
        "c": (2, "The leaves use sunlight and water to make sugar."),
        "d": (1, "It takes in carbon dioxide from the air through its leaves."),
        "e": (3, "It is called photosynthesis. The sun helps the leaf to make glucose out of water."),
        "w": (0, "The roots eat minerals out of the soil and drink the rain."),
        "s": (4, "Photosinthesis: carbon dioxide and water are made into glucose by light."),
        "-": (0, ""),
    },
    "Q2": {
        "a": (2, "In the mitochondria. Respiration releases energy for the cell."),
        "b": (2, "The mitochondrion, and it releases ATP."),
        "c": (1, "The mitochondria, and it releases oxygen."),
        "d": (1, "In the nucleus. It releases energy."),
        "w": (0, "The cell wall, it releases water."),
        "-": (0, ""),
    },
    "Q3": {
        "a": (3, "F = m a = 3.0 x 2.5 = 7.5 N"),
        "b": (3, "F = 3,0 x 2,5 = 7,5 newtons"),
        "c": (2, "3.0 x 2.5 = 7.5"),
        "d": (1, "3.0 + 2.5 = 5.5 N"),
        "w": (0, "2.5 / 3.0 = 0.83"),
        "-": (0, ""),
    },
    "Q4": {
        "a": (4, "1. Loft insulation\n2. Double glazing"),
        "b": (4, "Fit double glazing, and put foam in the walls."),
        "c": (2, "Put double glazing in the windows and turn the heating up."),
        "d": (4, "Insulate the loft, and a draught excluder under each door."),
        "e": (4, "Roof insulation, double glazed windows and wall insulation."),
        "w": (0, "Paint the house white and open the curtains."),
        "-": (0, ""),
    },
    "Q5": {
        "a": (2, "Carbon dioxide. The limewater turns cloudy."),
        "b": (2, "CO2, it goes milky."),
        "c": (0, "It turns cloudy."),
        "d": (0, "Carbon dioxide, it bubbles."),
        "w": (0, "Oxygen, and it relights a splint."),
        "-": (0, ""),
    },
}


@dataclass(frozen=True)
class Sheet:
    """One student's paper. `letters` names the answer given to each question; "." leaves out even its heading.

    `kind` says how the file is made: text (a PDF with a text layer), scan-pdf, mixed (a text page and a scanned one),
    png, jpeg, photo (a JPEG lying on its side, with the EXIF note that says so), blank or broken.
    """

    student: str
    letters: str
    kind: str
    heading: str = "Q{}."
    skew: float = 0.0  # degrees
    review: bool = False  # a person must look: a misspelt keyword, a heading left out


SHEETS = (
    Sheet("Ada Moreno", "aaaaa", "text"),
    Sheet("Ben Okafor", "bbbbb", "text"),
    Sheet("Chloe Dubois", "cccca", "text", heading="Question {}"),
    Sheet("Dmitri Volkov", "dddwc", "text"),
    Sheet("Elif Kaya", "eabed", "text", heading="{})"),
    Sheet("Farid Haddad", "wwwww", "text"),
    Sheet("Grace Lindqvist", "abcdb", "text"),
    Sheet("Hiro Tanaka", "-ac-a", "text"),
    Sheet("Ines Carvalho", "saaba", "text", review=True),
    Sheet("Jonas Weber", "ba.ea", "text", review=True),
    Sheet("Kamala Iyer", "bbacb", "text"),
    Sheet("Liam Byrne", "acaba", "mixed"),
    Sheet("Maja Novak", "aabab", "scan-pdf", skew=0.8),
    Sheet("Noah Fischer", "cdcwa", "scan-pdf", skew=-1.1),
    Sheet("Olga Petrova", "dwwcc", "scan-pdf", heading="Question {}", skew=0.4),
    Sheet("Paul Mensah", "eadea", "scan-pdf", skew=-0.5),
    Sheet("Qing Zhao", "bbabb", "png", skew=0.6),
    Sheet("Rosa Jimenez", "cacda", "png", skew=-1.4),
    Sheet("Samir Rahman", "wdwwd", "png", skew=1.2),
    Sheet("Tess van Dijk", "aaaaa", "png", heading="Question {}", skew=-0.7),
    Sheet("Umar Siddiqui", "dbc-w", "png", skew=1.0),
    Sheet("Vera Kowalska", "ebbea", "png", skew=0.3),
    Sheet("Wanjiru Kamau", "abadb", "jpeg", skew=-0.9),
    Sheet("Xavier Laurent", "ccdcc", "jpeg", skew=1.5),
    Sheet("Yusuf Demir", "waa-a", "jpeg", skew=-0.4),
    Sheet("Zoe Papadakis", "bdbab", "jpeg", heading="Question {}", skew=2.0),
    Sheet("Amir Farouk", "ebcca", "jpeg", skew=0.7),
    Sheet("Bella Rossi", "aacba", "photo", skew=-1.3),
    Sheet("Unnamed", "-----", "blank", review=True),
    Sheet("Carl Nyman", "aaaaa", "broken"),
)
