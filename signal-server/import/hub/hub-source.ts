import { ChorusError } from '#shared/errors.ts';

/** A repository of models on a hub. */
export interface HubSource {
  /** OWNER/NAME. */
  readonly repository: string;
  /** A branch, tag or commit; null for the main one. */
  readonly revision: string | null;
}

const HUB_PREFIX = 'hf:';
const FORM = /^([\w][\w.-]{0,95}\/[\w][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?$/;

export function isHubSource(source: string): boolean {
  return source.startsWith(HUB_PREFIX);
}

/** Reads `hf:OWNER/NAME[@REVISION]`. Throws `bad-message` for anything else. */
export function parseHubSource(source: string): HubSource {
  const [, repository, revision] = FORM.exec(source.slice(HUB_PREFIX.length)) ?? [];
  const isWhole = isHubSource(source) && repository !== undefined && !source.includes('..');
  if (!isWhole)
    throw new ChorusError(
      'bad-message',
      `${source.slice(0, 200)} is no repository; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION`,
    );
  return { repository, revision: revision ?? null };
}
