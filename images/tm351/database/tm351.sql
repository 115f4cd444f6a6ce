-- The course's database. psql runs this where branches.csv and loans.csv are.
SET ROLE oustudent;

CREATE TABLE branch (
    branch_id integer PRIMARY KEY,
    name text NOT NULL UNIQUE,
    town text NOT NULL,
    opened date NOT NULL,
    floor_m2 integer CHECK (floor_m2 > 0)
);

CREATE TABLE loan (
    branch_id integer NOT NULL REFERENCES branch,
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    kind text NOT NULL CHECK (kind IN ('book', 'ebook', 'film')),
    loans integer CHECK (loans >= 0), -- null: the branch did not report
    PRIMARY KEY (branch_id, month, kind)
);

\copy branch FROM 'branches.csv' WITH (FORMAT csv, HEADER match)
\copy loan FROM 'loans.csv' WITH (FORMAT csv, HEADER match)
