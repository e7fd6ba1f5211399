"""Items of reporting checklists, each in a few words of ours, with the fact of the records that answers it.

Sources: A. S. Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update",
Radiology: Artificial Intelligence 6 (2024); G. S. Collins et al., "TRIPOD+AI statement", BMJ 385 (2024) e078378. The
wording of the items is in these papers, and it is what a journal asks for.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """One item. Without a fact it is the author's."""

    number: str
    asks: str
    fact: str = ""


CLAIM_2024 = (
    Item("1", "Title or abstract: a study of AI, and which kind", "technology"),
    Item("2", "Abstract: structured summary"),
    Item("3", "Background, intended use and clinical role"),
    Item("4", "Aims and hypotheses", "hypotheses"),
    Item("5", "Prospective or retrospective"),
    Item("6", "Goal of the study", "goal"),
    Item("7", "Sources of the data", "data"),
    Item("8", "Inclusion and exclusion criteria", "eligibility"),
    Item("9", "Preprocessing", "preprocessing"),
    Item("10", "Selection of subsets of the data", "eligibility"),
    Item("11", "De-identification"),
    Item("12", "Missing data", "missing"),
    Item("13", "Image acquisition protocol"),
    Item("14", "Definition of the reference standard"),
    Item("15", "Reasons for the reference standard"),
    Item("16", "Who made the reference standard"),
    Item("17", "Annotation of the test set"),
    Item("18", "Variability between and within annotators"),
    Item("19", "Assignment of data to partitions", "partitions"),
    Item("20", "Level at which partitions are disjoint", "disjoint"),
    Item("21", "Intended sample size", "size"),
    Item("22", "The model: inputs, outputs, layers", "model"),
    Item("23", "Software, with versions", "software"),
    Item("24", "Initial values of the parameters", "start"),
    Item("25", "Training: recipe, distortions, stopping", "training"),
    Item("26", "Selection of the final model", "selection"),
    Item("27", "Ensembles", "ensembles"),
    Item("28", "Measures of performance", "measures"),
    Item("29", "Significance and uncertainty", "statistics"),
    Item("30", "Robustness and sensitivity", "robustness"),
    Item("31", "Explanations", "explanations"),
    Item("32", "Evaluation on internal data", "internal"),
    Item("33", "Test on external data", "external"),
    Item("34", "Registration of a clinical trial"),
    Item("35", "Numbers included and excluded", "flow"),
    Item("36", "Characteristics of each partition", "characteristics"),
    Item("37", "Performance on each partition, with uncertainty", "performance"),
    Item("38", "Estimates of diagnostic performance, with precision", "diagnostic"),
    Item("39", "Failure analysis: what was misclassified", "failures"),
    Item("40", "Limitations", "limitations"),
    Item("41", "Implications for practice"),
    Item("42", "Protocol, or further technical details", "details"),
    Item("43", "Availability of software, model and data", "availability"),
    Item("44", "Funding"),
)
TRIPOD_AI = (
    Item("1", "Title: model, population, outcome", "technology"),
    Item("2", "Abstract"),
    Item("3a-3c", "Healthcare context, target population, inequalities"),
    Item("4", "Objectives: development, evaluation or both", "goal"),
    Item("5a", "Sources of the data", "data"),
    Item("5b", "Dates of the data"),
    Item("6a", "Setting, number and place of centres"),
    Item("6b", "Eligibility", "eligibility"),
    Item("6c", "Treatments"),
    Item("7", "Preparation of the data", "preprocessing"),
    Item("8a-8c", "Outcome: definition, who assessed it, blinding"),
    Item("9a-9c", "Predictors: choice, definition, blinding", "predictors"),
    Item("10", "Sample size", "size"),
    Item("11", "Missing data", "missing"),
    Item("12a", "Use of the data: development and evaluation", "partitions"),
    Item("12b", "Handling of predictors", "preprocessing"),
    Item("12c", "Type of model, building, tuning, internal validation", "training"),
    Item("12d", "Heterogeneity between clusters", "disjoint"),
    Item("12e", "Measures of performance, and comparison of models", "measures"),
    Item("12f", "Updating after evaluation", "updating"),
    Item("12g", "How predictions were computed", "predictions"),
    Item("13", "Class imbalance", "imbalance"),
    Item("14", "Fairness"),
    Item("15", "Output of the model, and thresholds", "predictions"),
    Item("16", "Differences between development and evaluation data", "external"),
    Item("17", "Ethical approval"),
    Item("18a", "Funding"),
    Item("18b", "Conflicts of interest"),
    Item("18c", "Protocol", "details"),
    Item("18d", "Registration"),
    Item("18e", "Availability of the data", "availability"),
    Item("18f", "Availability of the code", "software"),
    Item("19", "Patient and public involvement"),
    Item("20a", "Flow of participants", "flow"),
    Item("20b", "Characteristics of participants", "characteristics"),
    Item("20c", "Comparison of development and evaluation data", "characteristics"),
    Item("21", "Numbers of participants and outcomes in each analysis", "characteristics"),
    Item("22", "Full specification of the model", "model"),
    Item("23a", "Performance with intervals, subgroups too", "performance"),
    Item("23b", "Heterogeneity of performance", "heterogeneity"),
    Item("24", "Results of updating", "updating"),
    Item("25", "Interpretation"),
    Item("26", "Limitations", "limitations"),
    Item("27a-27c", "Use in practice: poor input, expertise, next steps"),
)
CHECKLISTS = {"CLAIM 2024": CLAIM_2024, "TRIPOD+AI": TRIPOD_AI}
