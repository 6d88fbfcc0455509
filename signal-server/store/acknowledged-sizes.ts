export interface AcknowledgedAppends {
  /** A smaller size than the one that is there changes nothing. */
  write(origin: string, size: number): Promise<void>;
}

export interface AcknowledgedReads {
  /** 0 for a log that has acknowledged nothing. */
  read(origin: string): number;
  /** The log that has acknowledged most; null if none has acknowledged anything. */
  largest(): { readonly origin: string; readonly size: number } | null;
}

/**
 * Port: how many entries of each log were acknowledged, kept apart from the log's own folder so that an older copy of
 * that folder is noticed. May lag behind the log, never lead it.
 */
export interface AcknowledgedSizes extends AcknowledgedAppends, AcknowledgedReads {}
