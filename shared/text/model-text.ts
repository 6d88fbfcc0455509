import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { ChorusError } from '../errors.ts';
import { parseForm } from '../form-words.ts';
import { Markers, wellFormed } from './markers.ts';
import type { ChatMessage, Prompt, PromptMaker } from './prompt.ts';
import { StopStrings } from './stop-strings.ts';
import { decodeAfter, TokenDecoder } from './token-decoder.ts';
import { tokenFloorOf } from './token-floor.ts';
import { markerTexts, tokenizerSchema, withMarkerNames } from './tokenizer-files.ts';
import { asReferenceCuts } from './word-cuts.ts';

export type { ChatMessage };

/** Turns one answer's tokens into text. */
export interface TextWriter {
  /** The text that is certain with this token: no half characters, nothing that may yet be part of a stop string. */
  push(token: number): string;
  /** True once a stop string has come; what was returned ends before it. */
  readonly isStopped: boolean;
  /** The text that was held back, once no token follows. */
  end(): string;
}

/** Text to tokens and back, as one model does it. */
export interface ModelText extends PromptMaker {
  /** Throws `too-long` without reading a prompt that cannot be so few tokens as `most`. */
  encodePrompt(prompt: Prompt, most?: number): number[];
  /** The tokens of `textPrompt(text)`. */
  encode(text: string): number[];
  /** The whole text of these at once, special tokens left out: what they add to the text of those `before`. */
  decode(tokens: readonly number[], before?: readonly number[]): string;
  /** The writer of an answer to the tokens `before`. */
  createWriter(stop?: readonly string[], before?: readonly number[]): TextWriter;
}

const specialToken = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish()
  .transform((token) => token ?? undefined);
const configSchema = z.looseObject({
  bos_token: specialToken,
  eos_token: specialToken,
  pad_token: specialToken,
  unk_token: specialToken,
  additional_special_tokens: z
    .array(specialToken)
    .nullish()
    .transform((tokens) => (tokens ?? []).filter((token) => token !== undefined)),
  /** One template, or several by name. */
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish()
    .transform((templates) => {
      if (!Array.isArray(templates)) return templates ?? null;
      return (templates.find(({ name }) => name === 'default') ?? templates[0])?.template ?? null;
    }),
});

/** Reads tokenizer.json and tokenizer_config.json (UTF-8). Throws `bad-model` if they are not what they should be. */
export function openModelText(tokenizerFile: Uint8Array<ArrayBuffer>, configFile: Uint8Array<ArrayBuffer>): ModelText {
  const { tokenizer, markers, leastTokens, config, template } = open(tokenizerFile, configFile);
  const hasText = (token: number): boolean => {
    const word = tokenizer.id_to_token(token);
    return word !== undefined && !markers.isName(word);
  };
  // The library takes no empty list. Tidying spaces up before full stops would take characters back that are out already.
  const decode = (tokens: readonly number[]) =>
    tokens.length === 0
      ? ''
      : tokenizer.decode([...tokens], { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  const textPrompt = (text: string, hasMarkers = false): Prompt => {
    const whole = wellFormed(text);
    const pieces = hasMarkers ? markers.split(whole) : [{ text: whole, isMarker: false }];
    return { pieces, isRendered: false };
  };
  const encodePrompt = ({ pieces, isRendered }: Prompt, most = Infinity): number[] => {
    let least = 0;
    for (const { text, isMarker } of pieces) {
      least += isMarker ? 1 : leastTokens(text, most + 1);
      if (least > most)
        throw new ChorusError('too-long', `the prompt has more than ${most} tokens; no more are allowed`);
    }
    return tokenizer.encode(markers.join(pieces), { add_special_tokens: !isRendered }).ids;
  };
  return {
    chatPrompt(messages) {
      if (template === null) throw new ChorusError('unsupported', 'this model has no chat template');
      const hidden = messages.map(({ name, ...message }) => ({
        ...message,
        content: markers.hide(message.content),
        ...(name !== undefined && { name: markers.hide(name) }),
      }));
      const rendered = render(template, { ...config, messages: hidden, add_generation_prompt: true });
      return { pieces: markers.split(rendered), isRendered: true };
    },
    textPrompt,
    encodePrompt,
    encode: (text) => encodePrompt(textPrompt(text)),
    decode: (tokens, before = []) => decodeAfter(decode, tokens.filter(hasText), before.filter(hasText)),
    createWriter(stop = [], before = []) {
      const decoder = new TokenDecoder(decode, before.filter(hasText));
      return createWriter(decoder, new StopStrings(stop.map(wellFormed)), hasText);
    },
  };
}

function open(tokenizerFile: Uint8Array<ArrayBuffer>, configFile: Uint8Array<ArrayBuffer>) {
  try {
    const config = parseForm(configSchema, parseJson(configFile), 'its configuration', 'bad-model');
    const file = parseForm(tokenizerSchema, parseJson(tokenizerFile), 'its file', 'bad-model');
    const markers = new Markers(markerTexts(file, config.additional_special_tokens));
    const named = withMarkerNames(file, markers);
    const tokenizer = new Tokenizer(
      { ...named, pre_tokenizer: asReferenceCuts(file.pre_tokenizer) },
      {
        ...config,
        additional_special_tokens: config.additional_special_tokens.map((token) => markers.nameOf(token)),
      },
    );
    const template = config.chat_template === null ? null : new Template(config.chat_template);
    return { tokenizer, markers, leastTokens: tokenFloorOf(file), config, template };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ChorusError('bad-model', `the tokenizer cannot be read: ${reason.slice(0, 300)}`);
  }
}

function parseJson(bytes: Uint8Array<ArrayBuffer>): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
}

/** The error says nothing of the messages: prompts stay out of logs. */
function render(template: Template, values: Record<string, unknown>): string {
  try {
    return template.render(values);
  } catch {
    throw new ChorusError('bad-message', "the model's chat template does not take these messages");
  }
}

function createWriter(decoder: TokenDecoder, stops: StopStrings, hasText: (token: number) => boolean): TextWriter {
  return {
    push: (token) => (hasText(token) ? stops.push(decoder.push(token)) : ''),
    get isStopped() {
      return stops.isStopped;
    },
    end() {
      const text = stops.push(decoder.end());
      return text + stops.end();
    },
  };
}
