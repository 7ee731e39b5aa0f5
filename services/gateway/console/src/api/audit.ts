/** Changes that somebody of the tenant made, as the audit log has them. */

export interface Change {
  id: string;
  at: number;
  subject: string;
  /** The key that was used; null with a token. */
  key_id: string | null;
  /** What was done, by the name of the route. */
  route: string;
  object_id: string | null;
  request_id: string;
}
