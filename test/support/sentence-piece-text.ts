import { utf8 } from '#shared/bytes.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';

const SPACE = '\u2581';
const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const letters = [SPACE, ...'abcdefghijklmnopqrstuvwxyz.<>/|_'];
const words = [
  'th',
  'he',
  'the',
  `${SPACE}the`,
  `${SPACE}d`,
  `${SPACE}w`,
  'as',
  `${SPACE}was`,
  `${SPACE}a`,
  '</',
  's>',
  '</s>',
];
const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...letters, ...words.filter((word) => word !== '</s>')];
const merges = [
  ...['t h', 'th e', `${SPACE} the`, `${SPACE} d`, `${SPACE} w`, 'a s', `${SPACE}w as`, `${SPACE} a`],
  // Converters of SentencePiece models write merges for control pieces as well.
  ...['< /', 's >', '</ s>'],
];

export const SENTENCE_PIECE_IDS = { begin: 1, end: 2, size: tokens.length };

/** The tokenizer of a small model as Llama's are: spaces as marks, the first one added and taken away again, bytes as tokens. */
export const sentencePieceFile = {
  version: '1.0',
  added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true, normalized: false })),
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: SPACE },
      { type: 'Replace', pattern: { String: ' ' }, content: SPACE },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
  },
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
  model: {
    type: 'BPE',
    unk_token: '<unk>',
    fuse_unk: true,
    byte_fallback: true,
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges,
  },
};

export const sentencePieceConfig = {
  tokenizer_class: 'LlamaTokenizer',
  bos_token: '<s>',
  eos_token: '</s>',
  unk_token: '<unk>',
  chat_template:
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + ' ' + message['content'] | trim + eos_token }}{% endfor %}",
};

export const sentencePieceText: ModelText = openModelText(
  utf8(JSON.stringify(sentencePieceFile)),
  utf8(JSON.stringify(sentencePieceConfig)),
);
