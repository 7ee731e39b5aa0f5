/** The frame around every page: navigation, who is signed in, language, theme, and whether the gateway answers. */
import { useEffect, useRef } from "preact/hooks";
import { isReached, reachAgain } from "./api/client";
import { identity, mayOpen, useIdentity } from "./api/identity";
import { t, type MessageKey } from "./i18n";
import { PAGES } from "./pages";
import { SignInPage } from "./pages/sign_in";
import { MissingScope } from "./parts/states";
import { LANGUAGES, THEMES, language, theme } from "./preferences";
import { addressOf, place, placeOf } from "./routing";
import { credential, signOut } from "./session";

const LOOK_AGAIN_MS = 3000;
const NEW = "new";
const COMPARE = "compare";
const LISTED = PAGES.filter((each) => !each.isUnlisted);

export function App() {
  const isLost = !isReached.value;
  useEffect(() => {
    if (!isLost) return;
    const timer = setInterval(() => void reachAgain(), LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [isLost]);
  return (
    <>
      <a class="skip" href="#content" onClick={skipToContent}>
        {t("nav.skip")}
      </a>
      <Header />
      {isLost && (
        <p role="alert" class="banner">
          {t("state.lost")}
        </p>
      )}
      {credential.value ? <SignedIn key={credential.value} /> : <SignInPage />}
    </>
  );
}

function SignedIn() {
  useIdentity();
  return <CurrentPage />;
}

function CurrentPage() {
  const { page, id } = place.value;
  const known = PAGES.find((each) => each.name === page);
  const title = known ? t(known.title) : t("nav.missing");

  useEffect(() => {
    document.title = `${[NEW, COMPARE].includes(id) ? title : id || title} · Modelmill`;
  }, [title, id]);
  // Who uses a keyboard or a screen reader goes on at the new page, not behind the link to it.
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) document.getElementById("content")?.focus();
    isFirst.current = false;
  }, [page, id]);

  const isClosed = known !== undefined && identity.value.data !== null && !mayOpen(known.scopes);
  const other = page === "" && isClosed ? PAGES.find((each) => !each.isUnlisted && mayOpen(each.scopes)) : undefined;
  useEffect(() => {
    // Who may see nothing at home, an operator for one, begins elsewhere, unless they have gone on meanwhile.
    if (other && placeOf(location.hash).page === "") location.replace(addressOf(other.name));
  }, [other]);

  const Named = id === NEW ? known?.New : id === COMPARE ? known?.Compare : undefined;
  const Content = known && (Named ?? (id ? known.One : known.List));
  return (
    <main id="content" class="container" tabIndex={-1}>
      {isClosed ? <Closed of={known} /> : Content ? <Content key={id} id={id} /> : <Missing />}
    </main>
  );
}

function Closed({ of }: { of: (typeof PAGES)[number] }) {
  return (
    <>
      <h1>{t(of.title)}</h1>
      <MissingScope scopes={of.scopes} />
    </>
  );
}

function Missing() {
  return (
    <>
      <h1>{t("nav.missing")}</h1>
      <p>
        <a href={addressOf("")}>{t("nav.home")}</a>
      </p>
    </>
  );
}

function Header() {
  return (
    <header class="container">
      <nav aria-label={t("nav.main")}>
        <ul>
          <li>
            <strong>Modelmill</strong>
          </li>
          {credential.value && LISTED.filter((each) => mayOpen(each.scopes)).map((each) => <NavLink key={each.name} {...each} />)}
        </ul>
        <ul>
          <Choice name="nav.language" value={language.value} choices={LANGUAGES} choose={(it) => (language.value = it)} />
          <Choice name="nav.theme" value={theme.value} choices={THEMES} choose={(it) => (theme.value = it)} />
          {credential.value && (
            <li>
              <Holder />{" "}
              <button type="button" class="secondary outline small" onClick={() => signOut()}>
                {t("nav.sign_out")}
              </button>
            </li>
          )}
        </ul>
      </nav>
    </header>
  );
}

function Holder() {
  const found = identity.value.data;
  return (
    <a href={addressOf("access")} class="holder">
      <small>{found ? `${found.tenant} · ${found.subject}` : t("access.title")}</small>
    </a>
  );
}

function NavLink({ name, title }: { name: string; title: MessageKey }) {
  return (
    <li>
      <a href={addressOf(name)} {...(place.value.page === name ? { "aria-current": "page" as const } : {})}>
        {t(title)}
      </a>
    </li>
  );
}

interface ChoiceProps<T extends string> {
  name: "nav.language" | "nav.theme";
  value: T;
  choices: readonly T[];
  choose: (value: T) => void;
}

function Choice<T extends string>({ name, value, choices, choose }: ChoiceProps<T>) {
  return (
    <li>
      <select aria-label={t(name)} class="small" value={value} onChange={(event) => choose(event.currentTarget.value as T)}>
        {choices.map((each) => (
          <option key={each} value={each}>
            {t(`${name}.${each}` as MessageKey)}
          </option>
        ))}
      </select>
    </li>
  );
}

/** The address names pages, so a jump within one is done by hand. */
function skipToContent(event: Event) {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
