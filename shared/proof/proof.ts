import { toBase64 } from '../bytes.ts';
import type { Envelope } from '../crypto/envelope.ts';
import { commitBytes, revealBytes } from '../judge/statement-codec.ts';
import type { Testimony, Commit, Reveal, Signed } from '../judge/statement.ts';
import { MAX_PROOF_ROWS_BYTES } from '../limits.ts';
import type { Proof } from './proof-schema.ts';

type ProofOf<Type extends Proof['type']> = Extract<Proof, { type: Type }>;

/** That `accused`, a replica of `route`, computed something else than `referee`, the one replica of `replay`. */
export function computationProof(parts: {
  readonly route: Envelope;
  readonly replay: Envelope;
  readonly accused: Testimony;
  readonly referee: Testimony;
}): ProofOf<'computation'> {
  const { route, replay } = parts;
  return {
    type: 'computation',
    route,
    replay,
    accused: testimony(parts.accused),
    referee: testimony(parts.referee),
  };
}

/** That one key signed two different statements of one kind for one span. */
export function equivocationProof(
  route: Envelope,
  first: Signed<Commit | Reveal>,
  second: Signed<Commit | Reveal>,
): ProofOf<'equivocation'> {
  return { type: 'equivocation', route, first: sealed(first), second: sealed(second) };
}

/**
 * That `accused` revealed another sketch (or other logits) than that of the rows it committed to. `rows` are the bytes of
 * all its rows of the span on that side; at the head those logits rows that were asked for. Null if they are too many for
 * a report.
 */
export function sketchProof(
  route: Envelope,
  side: 'input' | 'output',
  accused: Testimony,
  rows: Uint8Array,
): ProofOf<'sketch'> | null {
  if (rows.length > MAX_PROOF_ROWS_BYTES) return null;
  return { type: 'sketch', route, side, accused: testimony(accused), rows: toBase64(rows) };
}

function testimony({ commit, reveal }: Testimony): ProofOf<'sketch'>['accused'] {
  const { input, output } = reveal.statement;
  return { commit: sealed(commit), reveal: { ...sealed(reveal), input: toBase64(input), output: toBase64(output) } };
}

function sealed({ statement, publicKey, signature }: Signed<Commit | Reveal>): ProofOf<'equivocation'>['first'] {
  const bytes = 'seed' in statement ? revealBytes(statement) : commitBytes(statement);
  return { statement: toBase64(bytes), publicKey: toBase64(publicKey), signature: toBase64(signature) };
}
