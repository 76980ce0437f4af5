"""Networks of tokens: a classifier, a miniature GPT, translation with attention, speech recognition."""

import keras
import numpy as np
from keras import layers, ops

VOCABULARY = 20


def tokens(length, count=2, seed=1):
    return np.random.default_rng(seed).integers(1, VOCABULARY, (count, length)).astype("int32")


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        attn_output = self.att(inputs, inputs)
        attn_output = self.dropout1(attn_output)
        out1 = self.layernorm1(inputs + attn_output)
        ffn_output = self.ffn(out1)
        ffn_output = self.dropout2(ffn_output)
        return self.layernorm2(out1 + ffn_output)


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        maxlen = ops.shape(x)[-1]
        positions = ops.arange(start=0, stop=maxlen, step=1)
        positions = self.pos_emb(positions)
        x = self.token_emb(x)
        return x + positions


def text_classifier(length=7, embed_dim=16):
    inputs = keras.Input((length,), dtype="int32")
    x = TokenAndPositionEmbedding(length, VOCABULARY, embed_dim)(inputs)
    x = TransformerBlock(embed_dim, 2, 32)(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Dense(12, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(2)(x)), tokens(length)


def causal_attention_mask(batch_size, n_dest, n_src, dtype):
    """Ones in the lower triangle, counted from the lower right corner."""
    i = ops.arange(n_dest)[:, None]
    j = ops.arange(n_src)
    mask = ops.cast(i >= j - n_src + n_dest, dtype)
    mask = ops.reshape(mask, [1, n_dest, n_src])
    return ops.tile(mask, (batch_size, 1, 1))


class CausalBlock(TransformerBlock):
    """A block whose class comes from another block's."""

    def call(self, inputs):
        batch_size, seq_len = ops.shape(inputs)[0], ops.shape(inputs)[1]
        mask = causal_attention_mask(batch_size, seq_len, seq_len, "bool")
        attention_output = self.dropout1(self.att(inputs, inputs, attention_mask=mask))
        out1 = self.layernorm1(inputs + attention_output)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


def miniature_gpt(length=7, embed_dim=16):
    """Two outputs: the logits, and what is behind them."""
    inputs = keras.Input((length,), dtype="int32")
    x = TokenAndPositionEmbedding(length, VOCABULARY, embed_dim)(inputs)
    x = CausalBlock(embed_dim, 2, 32)(x)
    return keras.Model(inputs, [layers.Dense(VOCABULARY)(x), x]), tokens(length)


class Encoder(layers.Layer):
    def __init__(self, vocab_size, units):
        super().__init__()
        self.embedding = layers.Embedding(vocab_size, units)
        self.rnn = layers.GRU(units, return_sequences=True, return_state=True)

    def call(self, x):
        return self.rnn(self.embedding(x))


class BahdanauAttention(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.W1 = layers.Dense(units)
        self.W2 = layers.Dense(units)
        self.V = layers.Dense(1)

    def call(self, query, values):
        score = self.V(ops.tanh(self.W1(ops.expand_dims(query, 1)) + self.W2(values)))
        attention_weights = ops.softmax(score, axis=1)
        context_vector = ops.sum(attention_weights * values, axis=1)
        return context_vector, attention_weights


class Decoder(layers.Layer):
    """One step, with attention to what was read."""

    def __init__(self, vocab_size, units):
        super().__init__()
        self.embedding = layers.Embedding(vocab_size, units)
        self.attention = BahdanauAttention(units)
        self.cell = layers.GRUCell(units)
        self.fc = layers.Dense(vocab_size)

    def call(self, token, state, memory):
        context, _ = self.attention(state, memory)
        output, states = self.cell(ops.concatenate([context, self.embedding(token)], axis=-1), [state])
        return self.fc(output), states[0]


class Translator(keras.Model):
    """Teacher forcing in a loop of Python over the steps."""

    def __init__(self, units=12):
        super().__init__()
        self.encoder = Encoder(VOCABULARY, units)
        self.decoder = Decoder(VOCABULARY, units)

    def call(self, inputs):
        source, target = inputs
        memory, state = self.encoder(source)
        logits = []
        for step in range(target.shape[1]):
            out, state = self.decoder(target[:, step], state, memory)
            logits.append(out)
        return ops.stack(logits, axis=1)


def sequence_to_sequence():
    model, x = Translator(), (tokens(6), tokens(3, seed=2))
    model(x)
    return model, x


class TokenEmbedding(layers.Layer):
    def __init__(self, num_vocab, maxlen, num_hid):
        super().__init__()
        self.emb = layers.Embedding(num_vocab, num_hid)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=num_hid)

    def call(self, x):
        maxlen = ops.shape(x)[-1]
        x = self.emb(x)
        positions = self.pos_emb(ops.arange(start=0, stop=maxlen, step=1))
        return x + positions


class SpeechFeatureEmbedding(layers.Layer):
    def __init__(self, num_hid):
        super().__init__()
        self.conv1 = layers.Conv1D(num_hid, 5, strides=2, padding="same", activation="relu")
        self.conv2 = layers.Conv1D(num_hid, 5, strides=2, padding="same", activation="relu")

    def call(self, x):
        return self.conv2(self.conv1(x))


class SpeechDecoder(layers.Layer):
    def __init__(self, embed_dim, num_heads, feed_forward_dim, dropout_rate=0.1):
        super().__init__()
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm3 = layers.LayerNormalization(epsilon=1e-6)
        self.self_att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.enc_att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.self_dropout = layers.Dropout(0.5)
        self.enc_dropout = layers.Dropout(0.1)
        self.ffn_dropout = layers.Dropout(0.1)
        self.ffn = keras.Sequential([layers.Dense(feed_forward_dim, activation="relu"), layers.Dense(embed_dim)])

    def call(self, enc_out, target):
        batch_size, seq_len = ops.shape(target)[0], ops.shape(target)[1]
        causal_mask = causal_attention_mask(batch_size, seq_len, seq_len, "bool")
        target_att = self.self_att(target, target, attention_mask=causal_mask)
        target_norm = self.layernorm1(target + self.self_dropout(target_att))
        enc_out = self.enc_att(target_norm, enc_out)
        enc_out_norm = self.layernorm2(self.enc_dropout(enc_out) + target_norm)
        ffn_out = self.ffn(enc_out_norm)
        return self.layernorm3(enc_out_norm + self.ffn_dropout(ffn_out))


class SpeechTransformer(keras.Model):
    """Its decoder's layers are attributes that are named in a loop, its encoder a Sequential."""

    def __init__(self, num_hid=16, num_head=2, num_feed_forward=32, target_maxlen=6, num_layers_dec=1):
        super().__init__()
        self.num_layers_dec = num_layers_dec
        self.enc_input = SpeechFeatureEmbedding(num_hid)
        self.dec_input = TokenEmbedding(VOCABULARY, target_maxlen, num_hid)
        self.encoder = keras.Sequential([self.enc_input, TransformerBlock(num_hid, num_head, num_feed_forward)])
        for i in range(num_layers_dec):
            setattr(self, f"dec_layer_{i}", SpeechDecoder(num_hid, num_head, num_feed_forward))
        self.classifier = layers.Dense(VOCABULARY)

    def decode(self, enc_out, target):
        y = self.dec_input(target)
        for i in range(self.num_layers_dec):
            y = getattr(self, f"dec_layer_{i}")(enc_out, y)
        return y

    def call(self, inputs):
        source, target = inputs
        return self.classifier(self.decode(self.encoder(source), target))


def speech_transformer():
    model = SpeechTransformer()
    x = [np.random.default_rng(1).normal(size=(2, 16, 6)).astype("float32"), tokens(5)]
    model(x)
    return model, x
