import { parsePolicy } from '#shared/log/policy.ts';
import type { LogStatus } from '#shared/wire/log-status.ts';

/**
 * A policy (C2SP tlog-policy) of the log and the witnesses that the server names, which asks for no cosignature: it shows
 * who has signed, on the server's word for their keys. Null where the server names something that is no key.
 */
export function policyOfServer({ vkey, witnesses }: Pick<LogStatus, 'vkey' | 'witnesses'>): string | null {
  const lines = [`log ${vkey}`, ...witnesses.map((witness) => `witness ${nameOf(witness.vkey)} ${witness.vkey}`)];
  const policy = `${[...new Set(lines), 'quorum none'].join('\n')}\n`;
  try {
    parsePolicy(policy);
    return policy;
  } catch {
    return null;
  }
}

/** Of a verifier key: without blanks, as a policy wants names. */
function nameOf(vkey: string): string {
  return vkey.split('+', 1)[0]!;
}
