"""How the bundled backbone was made: corpus -> vocabulary -> alignment -> teacher -> distill ->
probe.

An English sentence encoder becomes multilingual (Reimers & Gurevych 2020, "Making Monolingual
Sentence Embeddings Multilingual using Knowledge Distillation"). Its vocabulary is kept and
extended; each new row starts from a word alignment with English (Tran 2020, "From English to
Foreign Languages"); then the student learns to give a translation the vector that the teacher gives
its English side.

Needs the `pretrain` extra. Nothing outside this folder imports it, but for the command line.
"""
