import { sha256 } from '@noble/hashes/sha2.js';
import { concatBytes, toBase64, utf8 } from '#shared/bytes.ts';
import type { Identity } from '#shared/crypto/identity.ts';
import type { PeerId, SessionId } from '#shared/ids.ts';
import { channelScale } from '#shared/judge/channel-scale.ts';
import type { SpanCheck } from '#shared/judge/finding.ts';
import { rowValues, sketchRows } from '#shared/judge/sketch.ts';
import { commitBytes, revealBytes } from '#shared/judge/statement-codec.ts';
import type { Commit, Reveal, Span } from '#shared/judge/statement.ts';
import type { Manifest } from '#shared/model/manifest.ts';
import type { StageRange } from '#shared/model/stage.ts';
import { SessionAudit } from '#shared/requester/audit/session-audit.ts';
import type { AuditFailure, AuditHost, Dispute, TokenRedraw } from '#shared/requester/audit/span-audit.ts';
import { SpanBook } from '#shared/requester/audit/span-book.ts';
import type { Route } from '#shared/route/route.ts';
import { chunkEnd, chunkOf } from '#shared/rows/chunk.ts';
import { RowChain, ShapeChain } from '#shared/rows/row-chain.ts';
import { encodeTokens } from '#shared/rows/rows.ts';
import type { Drawn, Sampling } from '#shared/rows/sampler.ts';
import type { PeerMessage, RowsMessage } from '#shared/wire/peer-message.ts';
import { rowsMessage } from '#shared/wire/rows-message.ts';
import { toyDigest, toyManifest } from './toy-model.ts';
import { toyIdentity, toyVerify } from './toy-network.ts';

const HIDDEN = 24;
const VOCABULARY = 16;
export const standManifest: Manifest = {
  ...toyManifest,
  config: { ...toyManifest.config, hiddenSize: HIDDEN, vocabularySize: VOCABULARY },
  probe: {
    ...toyManifest.probe,
    channelScale: toBase64(new Uint8Array(new Float32Array(HIDDEN).fill(1).buffer)),
  },
};
const scale = channelScale(standManifest);
const SESSION = 'ab'.repeat(16) as SessionId;

type MessageOf<Type extends PeerMessage['type']> = Extract<PeerMessage, { type: Type }>;

/** The wrongs of a replica: each function gets what is right. */
export interface Lies {
  /** Rows as it says it got them, and as it made them. */
  input?: (row: Float32Array<ArrayBuffer>, position: number) => Float32Array<ArrayBuffer>;
  output?: (row: Float32Array<ArrayBuffer>, position: number) => Float32Array<ArrayBuffer>;
  commit?: (commit: Commit) => Commit;
  reveal?: (reveal: Reveal) => Reveal;
  /** Messages it sends instead of one. */
  send?: (message: PeerMessage, again: (lie: Lies) => Promise<PeerMessage>) => PeerMessage[] | Promise<PeerMessage[]>;
}

/** Numbers that depend on where in the model they are, the position and the token. */
export function hiddenRow(boundary: number, position: number, token: number): Float32Array<ArrayBuffer> {
  const bytes = concatBytes(
    ...[0, 1, 2].map((n) => sha256(utf8(`${boundary} ${position} ${token} ${n}`)).subarray(0, 32)),
  );
  return Float32Array.from({ length: HIDDEN }, (_, i) => (bytes[i]! - 127.5) / 64);
}

/** One logits row: log-sum-exp, then token and logit by falling logit. */
export function logitsRow(values: Float32Array): Uint8Array<ArrayBuffer> {
  const logits = values.slice(0, VOCABULARY);
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const row = new Uint8Array(4 + 8 * VOCABULARY);
  const view = new DataView(row.buffer);
  view.setFloat32(0, Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)), true);
  order.forEach((token, i) => {
    view.setUint32(4 + 8 * i, token, true);
    view.setFloat32(8 + 8 * i, logits[token]!, true);
  });
  return row;
}

const bytesOf = (row: Float32Array<ArrayBuffer>) => new Uint8Array(row.slice().buffer);

/** A replica that keeps its books as it should, but for its lies. */
export class StandReplica {
  readonly identity: Identity;
  readonly stage: number;
  readonly range: StageRange;
  lies: Lies = {};
  readonly #inputs = new RowChain();
  readonly #outputs = new RowChain();
  readonly #shapes = new ShapeChain();
  #rows: { input: Uint8Array<ArrayBuffer>; output: Uint8Array<ArrayBuffer> }[] = [];
  readonly #opening: Uint8Array<ArrayBuffer>;
  readonly #spans = new Map<number, Span>();

  constructor(name: string, stage: number, range: StageRange) {
    this.identity = toyIdentity(name);
    this.#opening = sha256(utf8(`opening ${name}`)).slice(0, 16);
    this.stage = stage;
    this.range = range;
  }

  get id(): PeerId {
    return this.identity.id;
  }

  run(start: number, tokens: readonly number[], logitsFrom: number): void {
    tokens.forEach((token, i) => {
      const position = start + i;
      const right = {
        input: hiddenRow(this.stage, position, token),
        output: hiddenRow(this.stage + 1, position, token),
      };
      const input = this.range.embedding
        ? encodeTokens([token])
        : bytesOf(this.lies.input?.(right.input, position) ?? right.input);
      const made = this.lies.output?.(right.output, position) ?? right.output;
      const output = !this.range.head ? bytesOf(made) : position < logitsFrom ? new Uint8Array() : logitsRow(made);
      this.#inputs.append(input);
      this.#outputs.append(output);
      this.#rows.push({ input, output });
    });
    this.#shapes.append(start, tokens.length);
  }

  cut(position: number): void {
    this.#inputs.cut(position);
    this.#outputs.cut(position);
    this.#shapes.cut(position);
    this.#rows.length = position;
  }

  /** The output that it really delivers. */
  outputRows(start: number, end: number): Uint8Array<ArrayBuffer>[] {
    return this.#rows.slice(start, end).map(({ output }) => output);
  }

  async receive(message: PeerMessage): Promise<PeerMessage[]> {
    if (message.type === 'check') {
      const { session, epoch, index, start, end } = message;
      this.#spans.set(index, { session, epoch, index, start, end });
      return this.#say((lies) => this.#commit(index, lies));
    }
    if (message.type === 'challenge') return this.#say((lies) => this.#reveal(message, lies));
    return [];
  }

  async #say(make: (lies: Lies) => Promise<PeerMessage>): Promise<PeerMessage[]> {
    const message = await make(this.lies);
    return (await this.lies.send?.(message, make)) ?? [message];
  }

  async #commit(index: number, lies: Lies): Promise<PeerMessage> {
    const span = this.#spans.get(index)!;
    const right: Commit = {
      ...span,
      opening: this.#opening,
      stage: this.stage,
      inputFrom: this.#inputs.at(span.start),
      inputTo: this.#inputs.at(span.end),
      outputFrom: this.#outputs.at(span.start),
      outputTo: this.#outputs.at(span.end),
      shapes: this.#shapes.at(span.end),
    };
    const statement = lies.commit?.(right) ?? right;
    const signature = await this.identity.sign(bytesOr(() => commitBytes(statement)));
    return { type: 'commit', commit: { statement, publicKey: this.identity.publicKey, signature } };
  }

  async #reveal({ index, seed }: MessageOf<'challenge'>, lies: Lies): Promise<PeerMessage> {
    const span = this.#spans.get(index)!;
    const rows = this.#rows.slice(span.start, span.end);
    const sketch = (parts: Uint8Array[]) => sketchRows(rowValues(concatBytes(...parts), 'f32'), HIDDEN, scale, seed);
    const outputs = rows.map(({ output }) => output);
    const right: Reveal = {
      ...span,
      opening: this.#opening,
      stage: this.stage,
      seed,
      input: this.range.embedding ? new Uint8Array() : sketch(rows.map(({ input }) => input)),
      output: this.range.head ? concatBytes(...outputs) : sketch(outputs),
    };
    const statement = lies.reveal?.(right) ?? right;
    const signature = await this.identity.sign(bytesOr(() => revealBytes(statement)));
    return { type: 'reveal', reveal: { statement, publicKey: this.identity.publicKey, signature } };
  }
}

/** A statement too malformed to have bytes cannot be signed either. */
function bytesOr(encode: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  try {
    return encode();
  } catch {
    return new Uint8Array(1);
  }
}

/** A requester's audit with the replicas of a whole route around it, under a clock of its own. */
export class AuditStand {
  readonly route: Route;
  readonly replicas: readonly StandReplica[];
  readonly audit: SessionAudit;
  readonly requester = toyIdentity('requester');
  nowMs = 1_000;
  sampling: Sampling | null = null;
  /** Drawn last, and not fed. */
  last: number | null = null;
  readonly book: SpanBook;
  readonly failed: AuditFailure[] = [];
  readonly checked: SpanCheck[] = [];
  readonly disputes: Dispute[] = [];
  readonly redraws: TokenRedraw[] = [];
  readonly sent: { readonly to: PeerId; readonly message: PeerMessage }[] = [];
  readonly connects: { readonly peer: PeerId; readonly webrtc: boolean }[] = [];
  /** Messages for which it is true wait until `release`. */
  isHeld: (from: StandReplica, message: PeerMessage) => boolean = () => false;
  /** Signatures that are never verified. */
  isVerifying = true;
  #held: { readonly from: StandReplica; readonly message: PeerMessage }[] = [];
  /** Shadows that were the last of their stage when they were found wrong. */
  readonly bare: PeerId[] = [];
  #tasks: (() => Promise<void>)[] = [];
  #tokens: number[] = [];
  #epoch = 0;
  #sequence = 0;

  /** `shadows[i]` for stage i; shadows compute with `shadowClass`. */
  constructor(shadows: readonly number[], shadowClass = 'wasm') {
    const ranges = shadows.map((_, stage): StageRange => ({
      start: stage,
      end: stage + 1,
      embedding: stage === 0,
      head: stage === shadows.length - 1,
    }));
    this.replicas = shadows.flatMap((count, stage) =>
      Array.from({ length: count + 1 }, (_, i) => {
        const name = i === 0 ? `P${stage}` : `V${stage}${'abcd'[i - 1]}`;
        return new StandReplica(name, stage, ranges[stage]!);
      }),
    );
    this.route = {
      session: SESSION,
      purpose: 'answer',
      model: toyDigest,
      requester: { id: this.requester.id, webrtc: true },
      capacity: 1024,
      issuedAtMs: 0,
      expiresAtMs: 900_000,
      stages: ranges.map((range, stage) => {
        const [primary, ...others] = this.replicas
          .filter((replica) => replica.stage === stage)
          .map(({ id }, i) => ({ id, webrtc: true, numericClass: i === 0 ? 'wasm' : shadowClass }));
        return { range, primary: primary!, shadows: others, predictedMs: 1 };
      }),
      notes: [],
    };
    this.book = new SpanBook(this.route);
    const config = {
      route: this.route,
      envelope: { payloadType: 'route', payload: '', signatures: [{ keyid: '', sig: '' }] },
      manifest: standManifest,
      publicKey: this.requester.publicKey,
      secret: new Uint8Array(32).fill(7),
      drawnAt: (position: number) => this.#drawnAt(position),
    };
    this.audit = new SessionAudit(config, this.book, this.#host());
  }

  /** The audit's requests are done one after the other, by `pump`. */
  #host(): AuditHost {
    const now = () => this.nowMs;
    const later = (task: () => Promise<void>) => void this.#tasks.push(task);
    return {
      get nowMs() {
        return now();
      },
      connect: (peer, webrtc) => this.connects.push({ peer, webrtc }),
      send: (to, message) => {
        this.sent.push({ to, message });
        later(() => this.#receive(to, message));
      },
      sign: (bytes, then) => later(async () => then(await this.requester.sign(bytes))),
      verify: ({ publicKey, bytes, signature }, then) =>
        later(async () => {
          if (this.isVerifying) then(await toyVerify(publicKey, bytes, signature));
        }),
      judged: () => this.checked.push(...this.book.verdicts.take()),
      redrawn: (redraw) => this.redraws.push(redraw),
      dispute: (dispute) => this.disputes.push(dispute),
      failed: (failure) => this.failed.push(failure),
      bare: (shadow) => this.bare.push(shadow),
    };
  }

  async #receive(to: PeerId, message: PeerMessage): Promise<void> {
    const replica = this.replicas.find(({ id }) => id === to)!;
    for (const answer of await replica.receive(message)) await this.#deliver(replica, answer);
  }

  /** `P0` is the primary of stage 0, `V0a` its first shadow. */
  at(name: string): StandReplica {
    const { id } = toyIdentity(name);
    return this.replicas.find((replica) => replica.id === id)!;
  }

  nameOf(peer: PeerId | null): string | null {
    const names = this.replicas
      .map(({ stage }) => stage)
      .flatMap((stage) => [`P${stage}`, ...[...'abcd'].map((n) => `V${stage}${n}`)]);
    return names.find((name) => toyIdentity(name).id === peer) ?? null;
  }

  /** The failures, each with its code and its partner: `P0 input-mismatch`, `V1a input-mismatch (P0)`. */
  get faults(): string[] {
    return this.failed.map(({ peer, code, partner }) => {
      const other = partner === null ? '' : ` (${this.nameOf(partner)})`;
      return `${this.nameOf(peer)} ${code}${other}`;
    });
  }

  /** Verdicts as `0-32 checked`. */
  get verdicts(): string[] {
    return this.checked.map(({ start, end, tier }) => `${start}-${end} ${tier}`);
  }

  #drawnAt(position: number): Drawn | null {
    const token = this.#tokens[position] ?? this.last;
    return this.sampling === null || token === null ? null : { token, sampling: this.sampling };
  }

  checksTo(name: string): MessageOf<'check'>[] {
    return this.#to(name).filter((message) => message.type === 'check');
  }

  challengesTo(name: string): MessageOf<'challenge'>[] {
    return this.#to(name).filter((message) => message.type === 'challenge');
  }

  isClosed(name: string): boolean {
    return this.#to(name).some(({ type }) => type === 'close');
  }

  #to(name: string): PeerMessage[] {
    const { id } = toyIdentity(name);
    return this.sent.filter(({ to }) => to === id).map(({ message }) => message);
  }

  /** Tells the audit something, and does what it asks for. */
  async tell(what: (audit: SessionAudit) => void): Promise<void> {
    what(this.audit);
    await this.pump();
  }

  async link(...names: string[]): Promise<void> {
    const linked = names.length === 0 ? this.replicas : names.map((name) => this.at(name));
    for (const { id } of linked) await this.tell((audit) => audit.linked(id));
  }

  /** Sends tokens round, a message for each chunk; logits are wanted from `logitsFrom` on, by default of the last. */
  async feed(tokens: readonly number[], logitsFrom = this.#tokens.length + tokens.length - 1): Promise<void> {
    for (let i = 0; i < tokens.length;) {
      const start = this.#tokens.length;
      const part = tokens.slice(i, i + chunkEnd(start) - start);
      i += part.length;
      this.#tokens.push(...part);
      for (const replica of this.replicas) replica.run(start, part, logitsFrom);
      const sent = this.#rows(0, 'tokens', start, part.length, encodeTokens(part), logitsFrom);
      this.book.sent(sent);
      const end = start + part.length;
      const wanted = Math.max(0, end - Math.max(start, logitsFrom));
      const last = this.at(`P${this.route.stages.length - 1}`);
      const bytes = concatBytes(...last.outputRows(end - wanted, end));
      const rows = this.#rows(this.route.stages.length, 'logits', end - wanted, wanted, bytes, logitsFrom);
      await this.tell((audit) => audit.received(rows, end));
      this.#sequence += 1;
    }
  }

  /** One token after the other, as an answer is made. */
  async decode(tokens: readonly number[]): Promise<void> {
    for (const token of tokens) await this.feed([token]);
  }

  async cut(position: number): Promise<void> {
    this.#epoch += 1;
    this.#tokens.length = position;
    for (const replica of this.replicas) replica.cut(position);
    await this.tell((audit) => audit.cut(this.#epoch, position));
  }

  #rows(
    stage: number,
    kind: 'tokens' | 'logits',
    start: number,
    count: number,
    bytes: Uint8Array<ArrayBuffer>,
    logitsFrom: number,
  ): RowsMessage {
    const [epoch, sequence] = [this.#epoch, this.#sequence];
    const rows = { kind, start, count, bytes };
    return rowsMessage({ session: SESSION, stage, epoch, sequence, chunk: chunkOf(start), logitsFrom, rows, hops: [] });
  }

  /** Lets what was held back go on. */
  async release(isStillHeld: typeof this.isHeld = () => false): Promise<void> {
    this.isHeld = isStillHeld;
    for (const { from, message } of this.#held.splice(0)) await this.#deliver(from, message);
    await this.pump();
  }

  /** Moves time on, handling each deadline when it is due. */
  async pass(byMs: number): Promise<void> {
    const untilMs = this.nowMs + byMs;
    while (this.audit.deadlineMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.audit.deadlineMs);
      await this.tell((audit) => audit.onTime());
    }
    this.nowMs = untilMs;
  }

  async #deliver(from: StandReplica, message: PeerMessage): Promise<void> {
    if (this.isHeld(from, message)) this.#held.push({ from, message });
    else this.audit.onMessage(from.id, message);
  }

  async pump(): Promise<void> {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) await task();
  }
}

/** `count` tokens of the stand's vocabulary. */
export function tokens(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => (3 * (from + i) + 1) % VOCABULARY);
}
