/** A secret that is told once, to be copied. */
import { CopyField } from "./copy_field";

interface NewSecretProps {
  label: string;
  secret: string;
  /** That it is there this once, and what becomes of an earlier one. */
  words: string;
}

export function NewSecret({ label, secret, words }: NewSecretProps) {
  return (
    <div>
      <p role="status">{words}</p>
      <CopyField label={label} value={secret} />
    </div>
  );
}
