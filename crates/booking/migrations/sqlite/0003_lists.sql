-- An account's bookings are found by its keys, each of which stands for one: a second index that begins with the account
-- would be one more page of the log for each booking.
drop index bookings_account;
