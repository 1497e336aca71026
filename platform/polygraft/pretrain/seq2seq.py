"""The encoder-decoder: the distilled encoder, and a shallow decoder that starts from what the
encoder knows.

transformers' `EncoderDecoderModel` of `BertModel` and `BertLMHeadModel` (Rothe et al. 2020,
"Leveraging Pre-trained Checkpoints for Sequence Generation Tasks"). The decoder's layers start as
copies of the encoder's, spread over its depth; its embedding rows as means of the encoder's rows
for the same spelling; its cross-attention at random.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import BertConfig, BertLMHeadModel, BertModel, EncoderDecoderModel

from polygraft.pretrain.alignment import spelling_rows
from polygraft.pretrain.decoder_vocabulary import END_ID, PAD_ID, SPACE
from polygraft.pretrain.recipe import DecoderRecipe

Floats = NDArray[np.float32]


def first_rows(pieces: Tokenizer, encoder_tokenizer: Tokenizer, rows: Floats) -> Floats:
    """First embedding rows of the decoder's pieces, float32 [pieces, hidden]: each the mean of the
    encoder's rows that spell it (lower-cased, a word's start or its inside as the piece is). Tags
    and bytes start at the mean row."""
    size = pieces.get_vocab_size()
    names = [str(pieces.id_to_token(i)) for i in range(size)]
    spelt = [n.removeprefix(SPACE) if n.startswith(SPACE) else f"##{n}" for n in names]
    first = spelling_rows(spelt, encoder_tokenizer, rows)
    special = [
        i for i, n in enumerate(names) if n.startswith("<") and n.endswith(">") and len(n) > 2
    ]
    first[special] = rows.mean(axis=0)
    return first


def build(
    encoder: BertModel, rows: Floats, recipe: DecoderRecipe, *, max_length: int, seed: int
) -> EncoderDecoderModel:
    """The untrained whole. `rows` are the decoder's first embedding rows [pieces, hidden];
    `max_length` its positions."""
    torch.manual_seed(seed)
    shape = encoder.config
    config = BertConfig(
        vocab_size=len(rows),
        hidden_size=shape.hidden_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=shape.num_attention_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=max_length,
        type_vocab_size=1,
        is_decoder=True,
        add_cross_attention=True,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=0.0,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        eos_token_id=END_ID,
        bos_token_id=None,
    )
    decoder = BertLMHeadModel(config)
    copied = np.linspace(0, shape.num_hidden_layers - 1, recipe.layers).round().astype(int)
    for layer, source in zip(decoder.bert.encoder.layer, copied, strict=True):
        layer.load_state_dict(encoder.encoder.layer[int(source)].state_dict(), strict=False)
    with torch.no_grad():
        decoder.bert.embeddings.word_embeddings.weight.copy_(torch.from_numpy(rows))
        positions = min(max_length, shape.max_position_embeddings)
        decoder.bert.embeddings.position_embeddings.weight[:positions] = (
            encoder.embeddings.position_embeddings.weight[:positions]
        )
        decoder.bert.embeddings.LayerNorm.load_state_dict(encoder.embeddings.LayerNorm.state_dict())
    decoder.tie_weights()
    model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
    model.config.pad_token_id, model.config.eos_token_id = PAD_ID, END_ID
    model.config.decoder_start_token_id = END_ID
    return model
