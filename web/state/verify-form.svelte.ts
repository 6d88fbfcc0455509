import { z } from 'zod';
import { toHex } from '#shared/bytes.ts';
import { toChorusError, type ChorusError } from '#shared/errors.ts';
import { parseReceiptSecrets, parseSalt, type ReceiptSecrets } from '#shared/receipt/build/receipt-secrets.ts';
import type { Verification } from '#shared/receipt/verify/verify-receipt.ts';
import { textOf, type Prompt } from '#shared/text/prompt.ts';
import type { ExportedAnswer } from '../conversations/exported-answers.ts';
import { MAX_GIVEN_BYTES, readGivenFile, recognize, type Given } from '../receipts/given-files.ts';
import type { VerifyRequest } from '../receipts/verify-here.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';
import type { Verifier } from './verifier.svelte.ts';

/** Where a tab keeps what was given. */
const LEFT = 'chorus.verify';

const MAX_FILES = 16;
const text = z.string().max(MAX_GIVEN_BYTES);
const leftSchema = z.object({
  files: z.array(z.object({ name: z.string(), text })).max(MAX_FILES),
  chosen: z.int().min(0),
  fields: z.object({ answer: text, prompt: text, salt: text, policy: text }),
});

/** The files and texts that somebody wants verified, and the outcome. It lives outside its view, so that looking elsewhere loses nothing. */
export class VerifyForm {
  /** As JSON has it, with its file's name; null before there is one. */
  receipt: { readonly name: string; readonly value: unknown } | null = $state.raw(null);
  answer = $state('');
  prompt = $state('');
  salt = $state('');
  policy = $state('');
  /** From a file of secrets. */
  tokens: readonly number[] | null = $state.raw(null);
  /** Of a conversation's file; one of them is verified. */
  offered: readonly ExportedAnswer[] = $state.raw([]);
  chosen = $state(0);
  /** Names of the files that were taken in, beside the receipt's. */
  others: readonly string[] = $state.raw([]);
  isWorking = $state(false);
  result: Verification | null = $state.raw(null);
  /** Why there is no result. */
  error: ChorusError | null = $state.raw(null);

  readonly #verifier: Verifier;
  #proof: string | null = null;
  #manifest: Uint8Array<ArrayBuffer> | null = null;
  /** The prompt of the secrets, in pieces. */
  #pieces: Prompt | null = null;
  /** As they were read. */
  #files: readonly { readonly name: string; readonly text: string }[] = [];
  #round = 0;

  constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  prepare(): void {
    this.#verifier.prepare();
  }

  /** Of the code for it. */
  get status(): Verifier['status'] {
    return this.#verifier.status;
  }

  /** Takes files in by what they are, and verifies. Failures end in `error`. */
  async take(files: readonly Pick<File, 'name' | 'size' | 'arrayBuffer'>[]): Promise<void> {
    try {
      const read = await Promise.all(
        files.map(async (file) => {
          const text = await readGivenFile(file);
          return { name: file.name, text, given: recognize(text) };
        }),
      );
      const receipts = read.filter(({ given }) => given.kind === 'receipt' || given.kind === 'conversation');
      if (receipts.length > 0 && this.receipt !== null) this.#begin();
      // The receipt first: what else comes with it is about it, in whatever order they were chosen.
      const others = read.filter((each) => !receipts.includes(each));
      for (const { name, text, given } of [...receipts, ...others]) this.#takeText(name, text, given);
    } catch (thrown) {
      this.result = null;
      this.error = toChorusError(thrown);
      return;
    }
    await this.verify();
  }

  /** Verifies another answer of the conversation that was given. */
  async choose(index: number): Promise<void> {
    const { offered, receipt } = this;
    if (receipt === null || offered[index] === undefined) return;
    const files = this.#files.filter(({ name }) => name === receipt.name);
    this.#begin();
    this.#files = files;
    try {
      this.#takeAnswer(receipt.name, offered, index);
    } catch (thrown) {
      this.error = toChorusError(thrown);
      return;
    }
    await this.verify();
  }

  /** Verifies what is there now. */
  async verify(): Promise<void> {
    if (this.receipt === null) return;
    const round = ++this.#round;
    this.isWorking = true;
    this.error = null;
    try {
      const result = await this.#verifier.verify(this.#request(this.receipt.value));
      if (round === this.#round) this.result = result;
    } catch (thrown) {
      if (round !== this.#round) return;
      this.result = null;
      this.error = toChorusError(thrown, 'server-lost');
    } finally {
      if (round === this.#round) this.isWorking = false;
    }
  }

  /** Puts what was given where it outlives a reload of the tab: the files too, unless they are too large for that. */
  leaveIn(tabStorage: KeyValueStorage): void {
    const { chosen, answer, prompt, salt, policy } = this;
    const fields = { answer, prompt, salt, policy };
    for (const files of [[], this.#files]) tabStorage.setItem(LEFT, JSON.stringify({ files, chosen, fields }));
  }

  /** Takes up, once, what was given before a reload, and verifies it. Never rejects. */
  async resume(tabStorage: KeyValueStorage): Promise<void> {
    const stored = new Stored(tabStorage, LEFT, leftSchema.nullable(), null);
    const left = stored.value;
    if (left === null) return;
    stored.value = null;
    const { files, chosen, fields } = left;
    try {
      for (const { name, text } of files) this.#takeText(name, text, recognize(text));
      const { receipt, offered } = this;
      if (receipt !== null && offered[chosen] !== undefined) this.#takeAnswer(receipt.name, offered, chosen);
    } catch (thrown) {
      this.error = toChorusError(thrown);
    }
    Object.assign(this, fields);
    await this.verify();
  }

  /** Forgets everything. */
  clear(): void {
    this.#begin();
    this.#round++;
    this.receipt = null;
    this.isWorking = false;
    this.policy = '';
  }

  /** Nothing that was said of one receipt is compared with the next; the policy says whom its owner trusts, and stays. */
  #begin(): void {
    this.answer = '';
    this.prompt = '';
    this.salt = '';
    this.tokens = null;
    this.#pieces = null;
    this.others = [];
    this.offered = [];
    this.result = null;
    this.error = null;
    this.#proof = null;
    this.#manifest = null;
    this.#files = [];
  }

  #takeText(name: string, text: string, given: Given): void {
    this.#take(name, given);
    this.#files = [...this.#files, { name, text }];
  }

  #take(name: string, given: Given): void {
    if (given.kind === 'receipt') {
      this.receipt = { name, value: given.value };
      return;
    }
    if (given.kind === 'conversation') return this.#takeAnswer(name, given.answers, given.answers.length - 1);
    if (given.kind === 'text' && this.receipt === null) {
      // Nothing else was given, so this is meant to be one; that it is none is said by its verification.
      this.receipt = { name, value: null };
      return;
    }
    this.others = [...this.others, name];
    switch (given.kind) {
      case 'secrets':
        this.#takeSecrets(given.secrets);
        break;
      case 'proof':
        this.#proof = given.text;
        break;
      case 'manifest':
        this.#manifest = given.bytes;
        break;
      case 'policy':
        this.policy = given.text;
        break;
      case 'text':
        this.answer = given.text;
        break;
    }
  }

  #takeAnswer(name: string, offered: readonly ExportedAnswer[], index: number): void {
    const { receipt, secrets, answer } = offered[index]!;
    this.receipt = { name, value: receipt };
    this.offered = offered;
    this.chosen = index;
    this.answer = answer;
    if (secrets !== null) this.#takeSecrets(parseReceiptSecrets(secrets));
  }

  #takeSecrets({ salt, prompt, pieces, tokens }: ReceiptSecrets): void {
    this.#pieces = pieces;
    this.salt = toHex(salt);
    this.prompt = prompt ?? '';
    this.tokens = tokens;
  }

  #request(value: unknown): VerifyRequest {
    const { answer, prompt, policy, tokens } = this;
    // Somebody may have written another prompt over that of the secrets.
    const pieces = this.#pieces !== null && textOf(this.#pieces) === prompt ? this.#pieces : null;
    const salt = this.salt.trim().toLowerCase();
    const receipt = this.#proof !== null && typeof value === 'object' ? { ...value, proof: this.#proof } : value;
    return {
      receipt,
      ...(answer !== '' && { answer }),
      ...(prompt !== '' && { prompt }),
      ...(pieces !== null && { pieces }),
      ...(salt !== '' && { salt: parseSalt(salt) }),
      ...(tokens !== null && { tokens }),
      ...(this.#manifest !== null && { manifest: this.#manifest }),
      ...(policy.trim() !== '' && { policy }),
    };
  }
}
