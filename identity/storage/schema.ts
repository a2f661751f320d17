// The tables of identity, the same on SQLite and PostgreSQL: text and integers only, times in whole seconds.
// JSON lies in text columns, so that one code path reads it on both.

export interface AccountsTable {
  readonly id: string;
  readonly username: string;
  /** Normalised for uniqueness: NFKC, lower case. */
  readonly username_key: string;
  readonly email: string | null;
  readonly full_name: string | null;
  readonly password_hash: string;
  /** JSON array of strings. */
  readonly roles: string;
  readonly groups: string;
  /** 1: no sign-in and no tokens, whatever was granted before. */
  readonly disabled: number;
  readonly created_at: number;
  readonly last_sign_in_at: number | null;
}

/** Records of the OpenID provider: codes, refresh tokens, grants, sessions, interactions. */
export interface RecordsTable {
  readonly model: string;
  /** SHA-256 of the identifier: what a bearer presents is never stored. */
  readonly id_hash: string;
  readonly payload: string;
  readonly grant_id: string | null;
  readonly account_id: string | null;
  readonly user_code: string | null;
  readonly uid: string | null;
  /** 1: a device code that was approved or denied; it never changes again. */
  readonly settled: number;
  readonly consumed_at: number | null;
  readonly expires_at: number | null;
}

export interface SigningKeysTable {
  readonly kid: string;
  /** Private JWK. */
  readonly jwk: string;
  readonly created_at: number;
  /** When a newer key took over; published until the longest token has expired. */
  readonly retired_at: number | null;
}

export interface SecretsTable {
  readonly name: string;
  readonly value: string;
  readonly created_at: number;
}

/** Counters of failures, so that throttling survives a restart and holds across processes. */
export interface AttemptsTable {
  readonly key: string;
  readonly failures: number;
  readonly blocked_until: number;
  readonly expires_at: number;
}

export interface ApiKeysTable {
  /** The public part of the key. */
  readonly id: string;
  /** Id of the account. */
  readonly owner: string;
  /** SHA-256 of the secret part: enough for a secret of 190 random bits, which nobody can guess. */
  readonly secret_hash: string;
  readonly name: string;
  /** JSON array: the roles that the key may carry, as far as its owner still has them. */
  readonly roles: string;
  readonly created_at: number;
  readonly expires_at: number;
  /** To within ten minutes. */
  readonly last_used_at: number | null;
  readonly revoked_at: number | null;
}

/** JWT access tokens that came from a grant, so that they can be named when the grant ends. */
export interface IssuedTokensTable {
  readonly jti: string;
  readonly grant_id: string;
  readonly expires_at: number;
}

/** Numbers that only rise. */
export interface CountersTable {
  readonly name: string;
  readonly value: number;
}

/** What gateways must learn at once; ids have no gaps and become visible in their order. */
export interface EventsTable {
  readonly id: number;
  readonly type: string;
  /** Credential id or subject; empty where the type says it all. */
  readonly about: string;
  readonly at: number;
}

export interface RelationsTable {
  readonly object: string;
  readonly relation: string;
  readonly subject: string;
  readonly created_at: number;
}

export interface IdentityTables {
  readonly accounts: AccountsTable;
  readonly records: RecordsTable;
  readonly signing_keys: SigningKeysTable;
  readonly secrets: SecretsTable;
  readonly attempts: AttemptsTable;
  readonly api_keys: ApiKeysTable;
  readonly issued_tokens: IssuedTokensTable;
  readonly counters: CountersTable;
  readonly events: EventsTable;
  readonly relations: RelationsTable;
}
