/** Sign-in with an API key or a token, or at an OpenID provider. The address stays, so whoever signs in is where they wanted to be. */
import { useState } from "preact/hooks";
import { isKnown } from "../api/client";
import { useLoaded } from "../api/loaded";
import { begin, exchange, type SignInOption } from "../api/sign_in";
import { t } from "../i18n";
import { signIn, signInReason } from "../session";
import { Refusal } from "../parts/states";

export function SignInPage() {
  const [value, setValue] = useState("");
  const [isAsking, setAsking] = useState(false);
  const [error, setError] = useState<unknown>(null);

  async function submit(event: Event) {
    event.preventDefault();
    setAsking(true);
    setError(null);
    try {
      if (await isKnown(value.trim())) signIn(value.trim());
      else setError(t("signin.unknown"));
    } catch (refused) {
      setError(refused);
    } finally {
      setAsking(false);
    }
  }

  return (
    <main class="container narrow">
      <h1>{t("signin.title")}</h1>
      {signInReason.value && <p role="status">{t(signInReason.value)}</p>}
      {exchange.value.isWaiting && <p aria-busy="true">{t("signin.waiting")}</p>}
      {exchange.value.error && <p role="alert">{exchange.value.error}</p>}
      <Providers />
      <form onSubmit={submit}>
        <label>
          {t("signin.key")}
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        </label>
        {error !== null && <Refusal error={error} />}
        <button type="submit" aria-busy={isAsking} disabled={isAsking}>
          {t("signin.submit")}
        </button>
      </form>
      <p>
        {t("signin.local")} <code>mill console</code>
      </p>
      <p>
        {t("signin.make")} <code>mill keys create NAME --scope jobs</code>
      </p>
      <p>
        <small>{t("signin.kept")}</small>
      </p>
    </main>
  );
}

function Providers() {
  const options = useLoaded<{ data: SignInOption[] }>("/v1/sign_in").data?.data ?? [];
  const [error, setError] = useState<unknown>(null);
  return (
    <>
      {options.map((option) => (
        <button key={option.issuer} type="button" onClick={() => void begin(option).catch(setError)}>
          {t("signin.with", { name: new URL(option.issuer).host })}
        </button>
      ))}
      {error !== null && <p role="alert">{error instanceof Error ? error.message : String(error)}</p>}
    </>
  );
}
