import type { PeerId, SessionId } from '../ids.ts';

/**
 * Positions [start, end) of a session, within one chunk and one epoch: what is checked at once. The requester numbers
 * the spans of a session from 1 in the order in which it closes them.
 */
export interface Span {
  readonly session: SessionId;
  readonly epoch: number;
  readonly index: number;
  readonly start: number;
  readonly end: number;
}

/**
 * One party's word for its work in one span. Chains (rows/row-chain.ts) are 32 bytes each and cover every position of the session
 * from 0 on, so that two equal chains at `end` mean equal bytes in the whole session, not in this span alone.
 */
export interface Commit extends Span {
  /**
   * 16 bytes that a replica draws when it joins the session, and puts into all that it signs there. A replica that forgot a
   * session, because its tab was loaded again, may be made to join it a second time: what it signs then is told apart from
   * what it signed before. Zeros in what the requester signs.
   */
  readonly opening: Uint8Array<ArrayBuffer>;
  /** The stage; the number of stages for the requester, whose input are the logits and whose output are the tokens. */
  readonly stage: number;
  /** Chain of the input rows before `start` and before `end`. */
  readonly inputFrom: Uint8Array<ArrayBuffer>;
  readonly inputTo: Uint8Array<ArrayBuffer>;
  readonly outputFrom: Uint8Array<ArrayBuffer>;
  readonly outputTo: Uint8Array<ArrayBuffer>;
  /** Chain of the runs in which the positions before `end` were computed: with equal ones, equal code gives equal bits. */
  readonly shapes: Uint8Array<ArrayBuffer>;
}

/** The sketches of the tensors that a replica committed to, shown once the seed is known. */
export interface Reveal extends Span {
  /** As in the commit. */
  readonly opening: Uint8Array<ArrayBuffer>;
  readonly stage: number;
  /** The seed of this span, 32 bytes. */
  readonly seed: Uint8Array<ArrayBuffer>;
  /** Sketches (sketch.ts) of the input rows, f32 [end - start, SKETCH_SIZE]; empty where the input are tokens. */
  readonly input: Uint8Array<ArrayBuffer>;
  /** Sketches of the output rows; at the head the logits rows themselves, those that were asked for. */
  readonly output: Uint8Array<ArrayBuffer>;
}

/** A statement with the key that signed it; `statement-codec.ts` says which bytes are signed. */
export interface Signed<Statement> {
  readonly statement: Statement;
  /** Raw Ed25519 public key; its digest is the signer's id. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** One replica's signed word on one span. */
export interface Testimony {
  readonly peer: PeerId;
  readonly numericClass: string;
  readonly commit: Signed<Commit>;
  readonly reveal: Signed<Reveal>;
}
