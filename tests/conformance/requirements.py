"""The requirements by their numbers, as code and tests name them, and which are not served yet."""

from __future__ import annotations

REQUIREMENTS = {
    "R1": "Biometrics of who is not listed are gone at once, unseen",
    "R2": "The watchlist is destroyed after the deployment, 24 h later at the latest",
    "R3": "It can still be told whether somebody was on a list",
    "R4": "Matches are deleted after use or a day; a named hold alone keeps them longer",
    "R5": "The list is reviewed before each deployment",
    "R6": "Who may be listed is closed and objective",
    "R7": "Where and when needs a reason; other cameras and times are refused",
    "R8": "An authorising officer approves, and any change voids it",
    "R9": "Urgent authority ends by itself",
    "R10": "A human decides before anyone is affected",
    "R11": "Two people verify separately",
    "R12": "Period of use, list, matching input and verifiers are logged",
    "R13": "A stop button stops all recognition within a second",
    "R14": "Accuracy by group is evaluated and certified",
    "R15": "The threshold has a floor, stated as a false-positive rate",
    "R16": "False alerts have a ceiling; a breach suspends the deployment",
    "R17": "List size matters: a forecast before arming",
    "R18": "Children are not ordinarily listed; age is never read from a face",
    "R19": "Deployments are overt and announced",
    "R20": "Each deployment is published, in numbers that can be recomputed",
    "R21": "Who is not listed is blurred in what operators watch",
    "R22": "It stands alone: no link to another system",
    "R23": "The best, most recent, suitable image is enrolled",
    "R24": "Impact assessment and policy come before use",
    "R25": "One policy file drives retention, and every record carries its hash",
    "R26": "Each image is strictly necessary",
    "R27": "Operators are trained and accountable",
    "R28": "Accuracy is tested before and during use",
    "R29": "People wrongly stopped have a remedy",
    "R30": "A person is accountable and the supply chain is known",
    "R31": "Nobody is categorised by sensitive traits",
    "R32": "Three purposes, each use under prior authority",
}

NOT_SERVED: dict[str, str] = {
    "R14": "no evaluation by group and no certificate of it is made yet",
}
"""Why, where no test serves a requirement; "no test serves it" where nothing is said here."""
